"""How often labels occur, and resampling that balances them."""
