"""Programs in a form of others: jaxprs as ONNX graphs (docs/export.md).

`translate.model` is the way in. It knows nothing of networks: a primitive that
a network of the registry uses has a rule here, every other one is an error.
"""
