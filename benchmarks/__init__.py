"""How fast tinyvae is: ratios against PyTorch and JAX, and against its own matrix products.

python -m benchmarks             runs everything and writes benchmarks/RESULTS.md and growth.png
python -m benchmarks step start  runs some of it, and rewrites these sections
python -m benchmarks published   published numbers, reproduced: see benchmarks/published.py

It refuses to write while other programs keep the machine busy, unless told to by --even-if-busy.
"""
