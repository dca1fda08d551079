"""Training forms: what a degradation looks like wherever it was not made by this package.

Each is a degradation with one parameter, `strength` in [0, 1], from a breath to blind, which draws all else: the model
of composition, colours, shapes, sizes. They are fast, and their strengths are no published severities: pictures of a
benchmark are never made by them. What a network learns from them goes by the name that the record says in `counts_as`.
"""
