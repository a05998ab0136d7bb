"""BLAS's threads, for code that has threads or processes of its own."""

from concurrent.futures import ThreadPoolExecutor


def libraries():
    """The BLAS libraries of this process: a threadpoolctl.ThreadpoolController of them

    It looks for them in a thread of its own.  The system calls back into Python meanwhile, and what
    a signal raises in there, such as KeyboardInterrupt, would be printed and lost; but signals come
    to the main thread alone.    None where no thread can be started: BLAS has none there, either.
    """
    from threadpoolctl import ThreadpoolController

    with ThreadPoolExecutor(1) as thread:
        try:
            controller = thread.submit(ThreadpoolController)
        except RuntimeError:
            return None
    return controller.result().select(user_api="blas")
