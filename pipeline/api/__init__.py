"""Python interface: the class `Run`, and one function per command.

The functions call the same workflows as the commands. Their results have a short text form, and a
table in notebooks. `pipeline` exports all public names of this package.
"""
