"""From the released data to assemblies, and from assemblies to what Brain-Score publishes.

Read `build` first: `layout` says where the release's files are, `volumes` and `betas` read them, `regions` says which
voxels are whose, `session_store` keeps finished sessions, `build` puts them together, `verify` compares the result
with the published files and `published_schema` writes those. The front is ``rebuild_assemblies.py`` in the repository.
"""
