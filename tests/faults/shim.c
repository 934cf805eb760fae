/* Stands between a process and the files below $SHIM_DIR. Loaded with LD_PRELOAD.
 *
 * With $SHIM_LOG it writes down what the process does to them, for tests/faults/power.py. A record: 1 byte operation, 8 bytes inode, 8 bytes offset, 4 bytes length, data; numbers are little-endian. It is written once the call
 * has returned, so whoever was answered finds in the log all that the answer rests on.
 *
 * With $SHIM_KILL, for tests/faults/kills.py, it kills the process at one of the calls that change files: once the file of that name exists it
 * holds a number N, and the process is killed before the Nth call from then on. How many there were is in $SHIM_KILL.count.
 *
 * With $SHIM_AHEAD, seconds, the wall clock is ahead by so much, and once the file $SHIM_KILL exists the timers are too: what a service does
 * every hour it does then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int out = -1;

/* A call that changes a file, which is about to be made. */
static void step(void) {
  static long taken, left = -1;
  const char *name = getenv("SHIM_KILL");
  if (!name) return;
  char text[PATH_MAX];
  pthread_mutex_lock(&lock);
  if (left < 0) {
    int file = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : syscall(SYS_read, file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (length > 0) {
      text[length] = 0;
      left = atol(text);
    }
  }
  if (left >= 0) {
    taken++;
    snprintf(text, sizeof text, "%s.count", name);
    /* Written over itself, as a kill from outside may come in between. */
    int file = syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | (taken == 1 ? O_TRUNC : 0) | O_CLOEXEC, 0644);
    int length = snprintf(text, sizeof text, "%ld", taken);
    if (syscall(SYS_write, file, text, length) != length) abort();
    close(file);
    if (taken == left) kill(getpid(), SIGKILL);
  }
  pthread_mutex_unlock(&lock);
}

static void record(char operation, uint64_t inode, uint64_t offset, const void *data, uint32_t length) {
  if (!getenv("SHIM_LOG")) return;
  pthread_mutex_lock(&lock);
  if (out < 0) out = syscall(SYS_openat, AT_FDCWD, getenv("SHIM_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  char *buffer = malloc(21 + (size_t)length);
  buffer[0] = operation;
  memcpy(buffer + 1, &inode, 8);
  memcpy(buffer + 9, &offset, 8);
  memcpy(buffer + 17, &length, 4);
  if (length) memcpy(buffer + 21, data, length);
  if (syscall(SYS_write, out, buffer, 21 + (size_t)length) != 21 + (ssize_t)length) abort();
  free(buffer);
  pthread_mutex_unlock(&lock);
}

/* The file behind a descriptor, if it is one of those that count: its inode, else 0. */
static uint64_t counts(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  const char *below = getenv("SHIM_DIR");
  struct stat status;
  if (!below || strncmp(path, below, strlen(below)) || fstat(fd, &status)) return 0;
  return status.st_ino;
}

static int is_below(const char *path) {
  const char *below = getenv("SHIM_DIR");
  return below && !strncmp(path, below, strlen(below));
}

static void step_on(int fd) {
  char path[PATH_MAX];
  if (getenv("SHIM_KILL") && counts(fd, path)) step();
}

static void step_at(const char *path) {
  if (is_below(path)) step();
}

#define NEXT(type, name, ...) \
  static type (*next)(__VA_ARGS__); \
  if (!next) next = dlsym(RTLD_NEXT, name)

static int opened(int fd, int flags) {
  char path[PATH_MAX];
  uint64_t inode = fd >= 0 ? counts(fd, path) : 0;
  if (inode && (flags & (O_CREAT | O_TRUNC))) record(flags & O_TRUNC ? 'O' : 'o', inode, 0, path, strlen(path));
  return fd;
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    NEXT(int, #name, const char *, int, ...); \
    va_list more; \
    va_start(more, flags); \
    int mode = va_arg(more, int); \
    va_end(more); \
    if (flags & (O_CREAT | O_TRUNC)) step_at(path); \
    return opened(next(path, flags, mode), flags); \
  }
OPEN(open)
OPEN(open64)

static void written(int fd, const void *data, ssize_t length, off64_t offset) {
  char path[PATH_MAX];
  uint64_t inode = length > 0 ? counts(fd, path) : 0;
  if (inode) record('w', inode, offset, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  step_on(fd);
  ssize_t done = next(fd, data, length, offset);
  written(fd, data, done, offset);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t write(int fd, const void *data, size_t length) {
  NEXT(ssize_t, "write", int, const void *, size_t);
  if (fd > 2) step_on(fd);
  ssize_t done = next(fd, data, length);
  if (fd > 2) written(fd, data, done, lseek64(fd, 0, SEEK_CUR) - done);
  return done;
}

int ftruncate64(int fd, off64_t length) {
  NEXT(int, "ftruncate64", int, off64_t);
  step_on(fd);
  int done = next(fd, length);
  char path[PATH_MAX];
  uint64_t inode = done ? 0 : counts(fd, path);
  if (inode) record('t', inode, length, NULL, 0);
  return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

#define SYNC(name) \
  int name(int fd) { \
    NEXT(int, #name, int); \
    step_on(fd); \
    int done = next(fd); \
    char path[PATH_MAX]; \
    uint64_t inode = done ? 0 : counts(fd, path); \
    if (inode) record(#name[1] == 'd' ? 'd' : 's', inode, 0, NULL, 0); \
    return done; \
  }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
  NEXT(int, "rename", const char *, const char *);
  step_at(from);
  int done = next(from, to);
  char both[2 * PATH_MAX];
  if (!done) record('r', 0, 0, both, snprintf(both, sizeof both, "%s\n%s", from, to));
  return done;
}

int unlink(const char *path) {
  NEXT(int, "unlink", const char *);
  step_at(path);
  int done = next(path);
  if (!done) record('u', 0, 0, path, strlen(path));
  return done;
}

/* What removes whole folders: the path is below one that is open. */
int unlinkat(int folder, const char *path, int flags) {
  NEXT(int, "unlinkat", int, const char *, int);
  step();
  return next(folder, path, flags);
}

int rmdir(const char *path) {
  NEXT(int, "rmdir", const char *);
  step_at(path);
  return next(path);
}

int mkdir(const char *path, mode_t mode) {
  NEXT(int, "mkdir", const char *, mode_t);
  step_at(path);
  return next(path, mode);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  NEXT(int, "clock_gettime", clockid_t, struct timespec *);
  int done = next(clock, time);
  const char *ahead = getenv("SHIM_AHEAD"), *armed = getenv("SHIM_KILL");
  if (!done && ahead && (clock == CLOCK_REALTIME || (clock == CLOCK_MONOTONIC && armed && !access(armed, F_OK)))) time->tv_sec += atol(ahead);
  return done;
}
