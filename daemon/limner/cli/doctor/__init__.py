"""`limner doctor`: is everything there that Limner needs?"""
