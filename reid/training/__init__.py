"""The training loop. The only package that imports lightning."""
