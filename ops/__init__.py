"""Every verb of an operator as a plain function, and the faces on top of them."""
