Subject: Le damos la bienvenida a Pedido

Hola, Ada:

Su cuenta está lista. Le escribiremos a esta dirección sobre sus pedidos.

Si no ha abierto una cuenta con nosotros, no tiene que hacer nada.

-- 
Pedido le escribe sobre su cuenta y sus pedidos. En sus preferencias elige qué otras noticias recibe.
<body>
<div>Su cuenta está lista. Le escribiremos a esta dirección sobre sus pedidos.</div>
<div aria-label="Le damos la bienvenida a Pedido" aria-roledescription="email" role="article" lang="es" dir="ltr">
<div>
<table border="0" cellpadding="0" cellspacing="0" role="presentation" align="center">
<tbody>
<tr>
<td>
<div class="mj-outlook-group-fix mj-column-per-100">
<table border="0" cellpadding="0" cellspacing="0" role="presentation" width="100%">
<tbody>
<tr>
<td align="left">
<div>Pedido</div>
</td>
</tr>
</tbody>
</table>
</div>
</td>
</tr>
</tbody>
</table>
</div>
<div>
<table border="0" cellpadding="0" cellspacing="0" role="presentation" align="center">
<tbody>
<tr>
<td>
<div class="mj-outlook-group-fix mj-column-per-100">
<table border="0" cellpadding="0" cellspacing="0" role="presentation" width="100%">
<tbody>
<tr>
<td align="left">
<div>Le damos la bienvenida a Pedido</div>
</td>
</tr>
<tr>
<td align="left">
<div>Hola, Ada:</div>
</td>
</tr>
<tr>
<td align="left">
<div>Su cuenta está lista. Le escribiremos a esta dirección sobre sus pedidos.</div>
</td>
</tr>
<tr>
<td align="left">
<div>Si no ha abierto una cuenta con nosotros, no tiene que hacer nada.</div>
</td>
</tr>
</tbody>
</table>
</div>
</td>
</tr>
</tbody>
</table>
</div>
<div>
<table border="0" cellpadding="0" cellspacing="0" role="presentation" align="center">
<tbody>
<tr>
<td>
<div class="mj-outlook-group-fix mj-column-per-100">
<table border="0" cellpadding="0" cellspacing="0" role="presentation" width="100%">
<tbody>
<tr>
<td align="center">
<div>Pedido le escribe sobre su cuenta y sus pedidos. En sus preferencias elige qué otras noticias recibe.</div>
</td>
</tr>
</tbody>
</table>
</div>
</td>
</tr>
</tbody>
</table>
</div>
</div>
</body>
</html>