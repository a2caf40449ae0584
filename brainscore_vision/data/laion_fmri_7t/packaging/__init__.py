"""From the released files to assemblies, and from assemblies to the files that Brain-Score publishes.

Read `build` first. `layout` says where the release's files are, `volumes` and `trials` read them, `regions` gives each
voxel its region, `session_store` keeps finished sessions, and `build` joins the sessions to an assembly. `verify` compares
an assembly with the published files, `package_view` compares the files with what laion_fmri reads, and
`published_schema` writes the published form. ``rebuild_assemblies.py`` in the repository runs them through `command`.
"""
