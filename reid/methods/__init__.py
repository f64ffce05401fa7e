"""The methods: network, losses, recipe schema and checkpoint import, one package or file each."""
