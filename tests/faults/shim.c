/* Faults below the broker, loaded with LD_PRELOAD: writes and syncs that fail,
 * a full disk, a wall clock that jumps. It also keeps, per file, how many
 * bytes were in it when its last successful sync began: what lies beyond is
 * what a power loss may take.
 *
 * Everything is told and asked through one shared file, FAULTS_CONTROL, laid
 * out as `struct control`; shim.py has the same layout. Only files below
 * FAULTS_DIR are touched. A fault counts when it was really given. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16384
#define MAGIC 0x4d494c4c46415554ull

struct slot {
  uint64_t inode;
  uint64_t synced;
};

struct control {
  uint64_t magic;
  uint64_t write_errno;    /* 0: none */
  uint64_t write_permille; /* how many of 1,000 */
  uint64_t sync_errno;
  uint64_t sync_permille;
  int64_t clock_shift_ns;
  char only[64]; /* part of a path, empty for all */
  /* counted here */
  uint64_t writes, syncs, writes_failed, syncs_failed, clock_shifted, loaded;
  uint64_t random; /* state of the choice */
  struct slot slots[SLOTS];
};

static struct control *control;
static const char *folder;
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) {
    fprintf(stderr, "faults shim: no %s\n", name);
    abort();
  }
  return found;
}
#define REAL(name) \
  static __typeof__(name) *next; \
  if (!next) next = (__typeof__(name) *)real(#name)

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS_CONTROL");
  folder = getenv("FAULTS_DIR");
  if (!path || !folder) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    perror("faults shim: FAULTS_CONTROL");
    abort();
  }
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED || ((struct control *)mapped)->magic != MAGIC) {
    fprintf(stderr, "faults shim: the control file is not ours\n");
    abort();
  }
  control = mapped;
  __atomic_fetch_add(&control->loaded, 1, __ATOMIC_RELAXED);
}

static int path_of(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, size - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return 1;
}

static int ours(const char *path) {
  return strncmp(path, folder, strlen(folder)) == 0 &&
         (!control->only[0] || strstr(path, control->only));
}

static int chosen(uint64_t permille) {
  uint64_t n = __atomic_add_fetch(&control->random, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ull;
  n = (n ^ (n >> 27)) * 0x94d049bb133111ebull;
  return (n ^ (n >> 31)) % 1000 < permille;
}

static int write_fails_at(const char *path) {
  if (!control || !control->write_errno || !ours(path) || !chosen(control->write_permille)) return 0;
  __atomic_fetch_add(&control->writes_failed, 1, __ATOMIC_RELAXED);
  errno = (int)control->write_errno;
  return 1;
}

static int write_fails(int fd) {
  char path[4096];
  if (!control || !control->write_errno) return 0;
  int kept = errno;
  int fails = path_of(fd, path, sizeof path) && write_fails_at(path);
  if (!fails) errno = kept;
  return fails;
}

static struct slot *slot_of(uint64_t inode) {
  for (uint64_t i = 0; i < SLOTS; i++) {
    struct slot *slot = &control->slots[(inode * 0x9e3779b97f4a7c15ull + i) % SLOTS];
    if (slot->inode == inode || slot->inode == 0) {
      slot->inode = inode;
      return slot;
    }
  }
  fprintf(stderr, "faults shim: more files than slots\n");
  abort();
}

static int synced(int fd, int (*next)(int), const char *name) {
  (void)name;
  struct stat before;
  char path[4096];
  if (!control || fstat(fd, &before) || !S_ISREG(before.st_mode)) return next(fd);
  if (!path_of(fd, path, sizeof path) || strncmp(path, folder, strlen(folder))) return next(fd);
  __atomic_fetch_add(&control->syncs, 1, __ATOMIC_RELAXED);
  if (control->sync_errno && ours(path) && chosen(control->sync_permille)) {
    __atomic_fetch_add(&control->syncs_failed, 1, __ATOMIC_RELAXED);
    errno = (int)control->sync_errno;
    return -1;
  }
  int result = next(fd);
  if (result == 0) {
    pthread_mutex_lock(&table);
    slot_of(before.st_ino)->synced = (uint64_t)before.st_size;
    pthread_mutex_unlock(&table);
  }
  return result;
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return synced(fd, next, "fdatasync");
}

int fsync(int fd) {
  REAL(fsync);
  return synced(fd, next, "fsync");
}

#define COUNT_WRITE() \
  if (control) __atomic_fetch_add(&control->writes, 1, __ATOMIC_RELAXED)

ssize_t write(int fd, const void *bytes, size_t n) {
  REAL(write);
  if (write_fails(fd)) return -1;
  COUNT_WRITE();
  return next(fd, bytes, n);
}

/* A full disk takes what still fits: the first half. */
static size_t part(size_t n) { return n > 1 ? n / 2 : n; }

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
  REAL(pwrite);
  if (write_fails(fd)) {
    int error = errno;
    if (error == ENOSPC) (void)!next(fd, bytes, part(n), at);
    errno = error;
    return -1;
  }
  COUNT_WRITE();
  return next(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) { return pwrite(fd, bytes, n, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  if (write_fails(fd)) return -1;
  COUNT_WRITE();
  return next(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  REAL(pwritev);
  if (write_fails(fd)) return -1;
  COUNT_WRITE();
  return next(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return pwritev(fd, parts, count, at); }

static int resized(int fd, off_t size) {
  struct stat now;
  if (!control || fstat(fd, &now) || size >= now.st_size) return 0;
  pthread_mutex_lock(&table);
  struct slot *slot = slot_of(now.st_ino);
  if (slot->synced > (uint64_t)size) slot->synced = (uint64_t)size;
  pthread_mutex_unlock(&table);
  return 0;
}

int ftruncate(int fd, off_t size) {
  REAL(ftruncate);
  struct stat now;
  /* To cut a file needs no space. */
  int grows = control && fstat(fd, &now) == 0 && size > now.st_size;
  if ((grows || (control && control->write_errno == EIO)) && write_fails(fd)) return -1;
  resized(fd, size);
  return next(fd, size);
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int posix_fallocate(int fd, off_t from, off_t n) {
  REAL(posix_fallocate);
  if (write_fails(fd)) return errno;
  return next(fd, from, n);
}

static int created(const char *path, int flags) {
  if (!control || !(flags & O_CREAT) || !control->write_errno || access(path, F_OK) == 0) return 0;
  return write_fails_at(path);
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    __builtin_va_list rest; \
    __builtin_va_start(rest, flags); \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? __builtin_va_arg(rest, mode_t) : 0; \
    __builtin_va_end(rest); \
    if (created(path, flags)) return -1; \
    return next(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t which, struct timespec *now) {
  REAL(clock_gettime);
  int result = next(which, now);
  if (result == 0 && control && which == CLOCK_REALTIME && control->clock_shift_ns) {
    __int128 ns = (__int128)now->tv_sec * 1000000000 + now->tv_nsec + control->clock_shift_ns;
    now->tv_sec = (time_t)(ns / 1000000000);
    now->tv_nsec = (long)(ns % 1000000000);
    __atomic_fetch_add(&control->clock_shifted, 1, __ATOMIC_RELAXED);
  }
  return result;
}
