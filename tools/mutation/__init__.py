"""A mutation check: which small changes of the code does no test notice?"""
