"""BLAS's threads, for those who have threads or processes of their own."""

from concurrent.futures import ThreadPoolExecutor


def libraries():
    """The BLAS libraries of this process: a threadpoolctl.ThreadpoolController of them

    It looks for them in a thread of its own.  The system calls back into Python meanwhile, and what
    a signal raises in there, such as KeyboardInterrupt, would be printed and lost; but signals come
    to the main thread alone.
    """
    from threadpoolctl import ThreadpoolController

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ThreadpoolController).result().select(user_api="blas")
