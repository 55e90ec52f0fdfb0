"""A folder with plugins, found like installed ones once it is on the path."""

import sys

GROUP = "amrbench"


def write_plugin(site, name, code, *, version="0.1", distribution=None, entry=None):
    """Write a plugin as pip would install it; its module is `plugin_<name>`, with - as _."""
    module, distribution = f"plugin_{name.replace('-', '_')}", distribution or f"dist-{name}"
    file = site / f"{module}.py"
    file.write_text(code)
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {entry or module}\n")
    return file


def forget_plugins():
    """Forget the modules of such plugins, so that the next test can write others of these names."""
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]
