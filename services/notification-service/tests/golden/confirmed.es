Subject: Su pedido está confirmado

Hola, Ada:

Gracias: tenemos todo lo que figura en este pedido y su pago está autorizado.

Pedido 0198f3a0-0001-7000-8000-000000000001 del 29 de agosto de 2025
  6 x 85123A: 15,30 GBP
  1 x POST: 1.234,56 GBP
Total: 1.249,86 GBP

-- 
Pedido le escribe sobre su cuenta y sus pedidos. En sus preferencias elige qué otras noticias recibe.
<body>
<div>Gracias: tenemos todo lo que figura en este pedido y su pago está autorizado.</div>
<div aria-label="Su pedido está confirmado" aria-roledescription="email" role="article" lang="es" dir="ltr">
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
<div>Su pedido está confirmado</div>
</td>
</tr>
<tr>
<td align="left">
<div>Hola, Ada:</div>
</td>
</tr>
<tr>
<td align="left">
<div>Gracias: tenemos todo lo que figura en este pedido y su pago está autorizado.</div>
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
<div>Pedido 0198f3a0-0001-7000-8000-000000000001 del 29 de agosto de 2025</div>
</td>
</tr>
<tr>
<td align="left">
<table border="0" cellpadding="0" cellspacing="0" width="100%">
<tr>
<td>6 ×</td>
<td>85123A</td>
<td>15,30 GBP</td>
</tr>
<tr>
<td>1 ×</td>
<td>POST</td>
<td>1.234,56 GBP</td>
</tr>
<tr>
<td colspan="2">Total</td>
<td>1.249,86 GBP</td>
</tr>
</table>
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