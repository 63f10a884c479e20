"""One kind of input a module: the only code that knows what an example is made of."""
