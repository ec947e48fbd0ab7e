"""The public keys that other services verify our tokens with."""

from typing import Any

from common.http import Router

from order_service.api.parts import PartsOf

router = Router(tags=["keys"])


@router.get("/.well-known/jwks.json")
async def get_jwks(parts: PartsOf) -> dict[str, Any]:
    """Publish the keys."""
    return parts.issuer.jwks()
