"""From a carried bundle to a control environment, with the base system's Python alone.

An operator runs this from the bundle's own wheel, after their own copy of verify.sh has
accepted the bundle.  Nothing here is imported from the rest of the appliance or from other
people's packages, because none of it is installed yet.

Only what the bundle's import accepts stays on the host.  What is imported before that, by
code from the same bundle, lies in a temporary directory.
"""
