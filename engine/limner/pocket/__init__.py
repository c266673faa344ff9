"""The model in the box: how its video is made, who teaches it, how it is trained, and its weights."""
