"""Documents of people on disk: definitions, locks, policies, overrides and root chains.

And what several verbs show people: pages in HTML, what is inside of a bundle, and what is said of controls.
"""
