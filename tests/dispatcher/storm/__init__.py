"""A storm of troubles, by a seed, and the judge of what came of it.

`plan` says what is done and when, `doing` does it and asks all the while, `oracle` judges: each
request that failed must be explained by an event. Begin with `plan`.
"""
