"""A function stands once in the reference: where it is defined.

Packages hand on names of their modules (`__all__`), and would show them again.
"""

import griffe


class Once(griffe.Extension):
  """Leaves out what a package only hands on."""

  def on_package(self, *, pkg: griffe.Module, **kwargs) -> None:
    """Looks at a package when it has been read."""
    for module in _modules(pkg):
      for name in map(str, module.exports or ()):
        if name in module.members and module.members[name].is_alias:
          module.del_member(name)


def _modules(module: griffe.Module):
  yield module
  for member in list(module.members.values()):
    if not member.is_alias and member.is_module:
      yield from _modules(member)
