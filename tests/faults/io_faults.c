/* Disk faults for one directory, preloaded under a process: its n-th write, sync, truncation, creation or opening
 * fails.
 *
 * IO_FAULTS_DIRECTORY names the directory, IO_FAULTS_CONTROL a file that holds a `struct control`, which the test
 * has mapped as well: it arms faults and reads the counts while the process runs. With `is_limited`, files of the
 * directory may grow by `room` bytes in all, as on a disk that is nearly full; what is deleted gives room back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { WRITE, SYNC, TRUNCATE, CREATE, OPEN /* for writing */, KINDS };

struct control { /* as `_CONTROL` in io_faults.py has it */
  uint64_t counts[KINDS];
  int64_t kinds, error; /* a bit each */
  uint64_t first, last; /* by the count of their kind */
  uint64_t struck;
  int64_t is_limited, room;
};

static volatile struct control *control;
static const char *directory;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("IO_FAULTS_CONTROL");
  int descriptor = path ? (int)openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  if (descriptor < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (mapped == MAP_FAILED) return;
  directory = getenv("IO_FAULTS_DIRECTORY");
  control = mapped;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char *path) {
  size_t length = directory ? strlen(directory) : 0;
  return length && strncmp(path, directory, length) == 0 && path[length] == '/';
}

static int is_watched(int descriptor) {
  char link[64], path[PATH_MAX];
  if (!control) return 0;
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

/* Counts one operation; nonzero, with errno set, when it is to fail. */
static int strikes(enum kind kind) {
  uint64_t number = __atomic_add_fetch(&control->counts[kind], 1, __ATOMIC_SEQ_CST);
  if (!control->error || !(control->kinds >> kind & 1)) return 0;
  if (number < control->first || number > control->last) return 0;
  __atomic_add_fetch(&control->struck, 1, __ATOMIC_SEQ_CST);
  errno = (int)control->error;
  return 1;
}

/* How much of a write up to `end` finds room; -1, with errno set, when nothing does. */
static ssize_t admitted(int descriptor, size_t size, off64_t offset) {
  struct stat64 found;
  if (!control->is_limited || fstat64(descriptor, &found) < 0) return (ssize_t)size;
  off64_t growth = offset + (off64_t)size - found.st_size;
  if (growth <= 0) return (ssize_t)size;
  int64_t missing = growth - control->room;
  if (missing >= (int64_t)size) {
    __atomic_add_fetch(&control->struck, 1, __ATOMIC_SEQ_CST);
    errno = ENOSPC;
    return -1;
  }
  if (missing < 0) missing = 0;
  __atomic_sub_fetch(&control->room, growth - missing, __ATOMIC_SEQ_CST);
  return (ssize_t)size - missing;
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
  if (is_watched(descriptor)) {
    if (strikes(WRITE)) return -1;
    ssize_t fits = admitted(descriptor, size, offset);
    if (fits < 0) return -1;
    size = (size_t)fits;
  }
  return NEXT(pwrite64)(descriptor, data, size, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
  return pwrite64(descriptor, data, size, offset);
}

ssize_t write(int descriptor, const void *data, size_t size) {
  if (is_watched(descriptor)) {
    if (strikes(WRITE)) return -1;
    ssize_t fits = admitted(descriptor, size, lseek64(descriptor, 0, SEEK_CUR));
    if (fits < 0) return -1;
    size = (size_t)fits;
  }
  return NEXT(write)(descriptor, data, size);
}

int fsync(int descriptor) {
  return is_watched(descriptor) && strikes(SYNC) ? -1 : NEXT(fsync)(descriptor);
}

int fdatasync(int descriptor) {
  return is_watched(descriptor) && strikes(SYNC) ? -1 : NEXT(fdatasync)(descriptor);
}

int ftruncate64(int descriptor, off64_t length) {
  if (is_watched(descriptor)) {
    struct stat64 found;
    if (strikes(TRUNCATE)) return -1;
    if (control->is_limited && fstat64(descriptor, &found) == 0 && found.st_size > length)
      __atomic_add_fetch(&control->room, found.st_size - length, __ATOMIC_SEQ_CST);
  }
  return NEXT(ftruncate64)(descriptor, length);
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int unlink(const char *path) {
  struct stat64 found;
  int is_freed = control && control->is_limited && is_below(path) && lstat64(path, &found) == 0 && found.st_nlink == 1;
  int result = NEXT(unlink)(path);
  if (is_freed && result == 0) __atomic_add_fetch(&control->room, found.st_size, __ATOMIC_SEQ_CST);
  return result;
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if (control && flags & (O_CREAT | O_WRONLY | O_RDWR) && is_below(path)) {
    int is_there = access(path, F_OK) == 0;
    if ((is_there || flags & O_CREAT) && strikes(is_there ? OPEN : CREATE)) return -1;
  }
  return NEXT(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open64(path, flags, mode);
}
