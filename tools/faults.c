/* Let the n-th allocation, or the n-th system call, of a process fail.  Preloaded by tools/faults.py.

   What is failed is what C libraries reach through libc's names; glibc, Linux. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

enum { OFF, ALLOCATION, CALL };
static volatile int kind = OFF, error = 0;
static volatile long at = 0, count = 0;

void faults_arm(int what, long n, int code) { at = n; error = code; count = 0; kind = what; }
long faults_disarm(void) { kind = OFF; return count; }

static int due(int what, int code) {
    if (kind != what || __sync_add_and_fetch(&count, 1) != at) return 0;
    errno = code ? code : error;
    return 1;
}

void *malloc(size_t n) { return due(ALLOCATION, ENOMEM) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return due(ALLOCATION, ENOMEM) ? NULL : __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return due(ALLOCATION, ENOMEM) ? NULL : __libc_realloc(p, n); }


#define FAILING(type, bad, name, parameters, arguments)                         \
    type name parameters {                                                      \
        static type(*real) parameters;                                          \
        if (!real) { int k = kind; kind = OFF; real = dlsym(RTLD_NEXT, #name); kind = k; } \
        return due(CALL, 0) ? bad : real arguments;                             \
    }

FAILING(ssize_t, -1, read, (int fd, void *b, size_t n), (fd, b, n))
FAILING(ssize_t, -1, write, (int fd, const void *b, size_t n), (fd, b, n))
FAILING(int, -1, fsync, (int fd), (fd))
FAILING(int, -1, flock, (int fd, int how), (fd, how))
FAILING(int, -1, mkdir, (const char *p, mode_t m), (p, m))
FAILING(int, -1, unlink, (const char *p), (p))
FAILING(int, -1, unlinkat, (int d, const char *p, int f), (d, p, f))
FAILING(int, -1, rename, (const char *a, const char *b), (a, b))
FAILING(int, -1, renameat, (int c, const char *a, int d, const char *b), (c, a, d, b))
FAILING(off_t, -1, lseek64, (int fd, off_t o, int w), (fd, o, w))
FAILING(off_t, -1, lseek, (int fd, off_t o, int w), (fd, o, w))
FAILING(int, -1, fstat, (int fd, struct stat *s), (fd, s))
FAILING(int, -1, fstat64, (int fd, struct stat64 *s), (fd, s))
FAILING(int, -1, stat, (const char *p, struct stat *s), (p, s))
FAILING(int, -1, stat64, (const char *p, struct stat64 *s), (p, s))
FAILING(int, -1, lstat, (const char *p, struct stat *s), (p, s))
FAILING(int, -1, lstat64, (const char *p, struct stat64 *s), (p, s))
FAILING(int, -1, fstatat, (int d, const char *p, struct stat *s, int f), (d, p, s, f))
FAILING(int, -1, fstatat64, (int d, const char *p, struct stat64 *s, int f), (d, p, s, f))
FAILING(int, -1, ioctl, (int fd, unsigned long r, void *a), (fd, r, a))
FAILING(int, -1, pipe2, (int *p, int f), (p, f))
FAILING(int, -1, dup2, (int a, int b), (a, b))

#define OPENING(name, parameters, arguments)                                    \
    int name parameters {                                                       \
        static int (*real) parameters;                                          \
        if (!real) { int k = kind; kind = OFF; real = dlsym(RTLD_NEXT, #name); kind = k; } \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest); \
        return due(CALL, 0) ? -1 : real arguments;                              \
    }

OPENING(open, (const char *p, int flags, ...), (p, flags, mode))
OPENING(open64, (const char *p, int flags, ...), (p, flags, mode))
OPENING(openat, (int d, const char *p, int flags, ...), (d, p, flags, mode))
OPENING(openat64, (int d, const char *p, int flags, ...), (d, p, flags, mode))
