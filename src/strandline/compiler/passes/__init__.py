"""The rewrites of the algebra, a file each; `PASSES` of the compiler names them in their order.

Every pass keeps the result and the row identities.
"""
