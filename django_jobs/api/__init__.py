"""The engine's verbs over HTTP, in the conventions of the REST framework."""
