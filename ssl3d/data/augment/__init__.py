"""How training crops are changed: turned, scaled, and with other intensities."""
