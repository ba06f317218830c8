"""Pages for readers and operators, made on the server: thin, over the store and the verbs. Nothing is loaded from other hosts."""
