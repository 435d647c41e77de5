"""Where the program begins, before anything is imported that takes time."""

import gc
import os
import signal


def run() -> None:
    """The program `batchctl`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is somebody to handle it, Ctrl-C just ends us
    # Our models have no use for plugins of pydantic, and looking for some is a tenth of `validate`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    gc.disable()  # until the imports are done: they make no garbage, and collecting it took a tenth of the start
    from batchctl.cli.main import main

    main()


if __name__ == "__main__":
    run()
