"""``koppeling demo``: the whole job on stand-ins, from an empty machine to a closing table, in under a minute.

``play.py`` begins and ends it           ``stage.py`` what runs            ``borrowed.py`` servers of somebody else
``story.py`` what happens                ``scene.py`` to whom              ``telling.py`` how it is told
``verdict.py`` whether both systems ended up as they must                  ``command.py`` the command
"""
