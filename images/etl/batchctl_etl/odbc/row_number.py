"""The stage's last column: the row's number, for no database behind ODBC tells the order of rows."""

ROW = "_batchctl_row"
