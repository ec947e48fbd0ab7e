-- One schema and two roles a service: the owner migrates, the app role reads and writes rows, and neither
-- sees another service's schema. Safe to run again. ${…} are passwords, filled in by whoever runs this.

DO $roles$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY[
        'orders_owner', 'orders_app', 'inventory_owner', 'inventory_app',
        'payments_owner', 'payments_app', 'notifications_owner', 'notifications_app'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
    END LOOP;
END
$roles$;

ALTER ROLE orders_owner PASSWORD '${orders_owner_password}';
ALTER ROLE orders_app PASSWORD '${orders_app_password}';
ALTER ROLE inventory_owner PASSWORD '${inventory_owner_password}';
ALTER ROLE inventory_app PASSWORD '${inventory_app_password}';
ALTER ROLE payments_owner PASSWORD '${payments_owner_password}';
ALTER ROLE payments_app PASSWORD '${payments_app_password}';
ALTER ROLE notifications_owner PASSWORD '${notifications_owner_password}';
ALTER ROLE notifications_app PASSWORD '${notifications_app_password}';

REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Text within text is found by an index; only who creates one needs to see the schema.
CREATE SCHEMA IF NOT EXISTS extensions;
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA extensions;

DO $services$
DECLARE
    service text;
    owner text;
    app text;
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());

    FOREACH service IN ARRAY ARRAY['orders', 'inventory', 'payments', 'notifications'] LOOP
        owner := service || '_owner';
        app := service || '_app';
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I, %I', current_database(), owner, app);

        -- Let the one who runs this act for the owner, also where it is no superuser.
        EXECUTE format('GRANT %I TO CURRENT_USER', owner);
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, owner);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', service, app);
        EXECUTE format('GRANT USAGE ON SCHEMA extensions TO %I', owner);

        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I '
            'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', owner, service, app);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT USAGE ON SEQUENCES TO %I',
            owner, service, app);
        -- A function of the owner may run with the owner's rights: nobody else's business.
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC', owner);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT EXECUTE ON FUNCTIONS TO %I',
            owner, service, app);

        -- The relay's floor waits for whoever announces; a lock waited for is a batch that waits.
        EXECUTE format('ALTER ROLE %I SET transaction_timeout = ''30s''', app);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''10s''', app);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''2s''', app);
    END LOOP;
END
$services$;
