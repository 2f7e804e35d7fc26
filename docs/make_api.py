"""Write the API reference from docstrings: python docs/make_api.py FOLDER"""

import pathlib
import pkgutil
import sys

import pdoc

import tf_metagan

_LEFT_OUT = "!tf_metagan.serving.grpc_client"  # needs tf-metagan[serving]


def main(argv: list[str]) -> int:
    """Write one page per module, all below those named here."""
    if len(argv) != 1:
        sys.stderr.write("usage: python docs/make_api.py FOLDER\n")
        return 1
    for name in tf_metagan.__all__:  # they are loaded when first used
        setattr(tf_metagan, name, getattr(tf_metagan, name))
    modules = ["tf_metagan"] + [
        f"tf_metagan.{found.name}"
        for found in pkgutil.iter_modules(tf_metagan.__path__)
    ]
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc(*modules, _LEFT_OUT, output_directory=pathlib.Path(argv[0]))
    sys.stdout.write(f"the reference is in {argv[0]}/index.html\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
