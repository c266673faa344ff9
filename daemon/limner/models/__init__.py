"""The models that people can choose: what there are, where they come from, what is here. No torch."""
