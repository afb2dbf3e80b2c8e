"""The one engine: it trains, validates and predicts with stacks of members."""
