"""A page that runs an exported model in a browser (docs/web.md)."""
