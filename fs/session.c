/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include "common/log.h"
#include "fs/origins/access.h"
#include "fs/origins/asking.h"
#include "fs/origins/audit.h"
#include "fs/requests/ops.h"
#include "fs/requests/passthrough.h"
#include "fs/requests/wire.h"

/* FUSE_NOTIFY_INC_EPOCH (7.44) is younger than the headers of some distributions. */
#define NOTIFY_INC_EPOCH       8
#define NOTIFY_INC_EPOCH_MINOR 44

#define THREADS_MAX     10 /* each has two buffers of 1 MiB */
#define BACKGROUND_MAX  512 /* 12, the default, parked readaheads would stop all others */
/*
 * For a read of 4 MiB somewhere the kernel asks for up to two of its windows more. With half a chunk that comes, in
 * whole chunks, to 1.25 times what was read, with a chunk to 1.35.
 */
#define READ_AHEAD_KB   256
#define WAKE_SIGNAL     SIGUSR1
#define FIXED_OPTIONS   "ro,nosuid,nodev,noatime,subtype=weightfs"

/* What outlives a call: one session a process. */
static struct {
	struct session_options options;
	char mountpoint[PATH_MAX];
	atomic_bool answered; /* the INIT reply is out */
	atomic_bool looping;
	atomic_bool mounted;  /* mountpoint is set */
	bool passthrough;     /* agreed on in INIT */
	_Atomic dev_t device;
	_Atomic pid_t threads[2 * THREADS_MAX]; /* that wait in the loop, by id; 0: free */
} session;

dev_t session_device(void)
{
	return atomic_load(&session.device);
}

const char *session_mountpoint(void)
{
	return atomic_load(&session.mounted) ? session.mountpoint : NULL;
}

/* ---- INIT ---- */

void session_init(void *userdata, struct fuse_conn_info *conn)
{
	struct weightfs *fs = userdata;

	conn->want &= ~(unsigned int)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
				      FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS);
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	session.passthrough = wire_agree(conn, passthrough_wanted(fs->passthrough));
	atomic_store(&fs->serving, true);
	atomic_store(&fs->epochs, conn->proto_minor >= NOTIFY_INC_EPOCH_MINOR);
}

/* The device of what is mounted at the mountpoint now. Asks the kernel only, not the file system. */
static dev_t device_there(void)
{
	struct statx st;

	if (statx(AT_FDCWD, session.mountpoint, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) < 0)
		return 0;
	return makedev(st.stx_dev_major, st.stx_dev_minor);
}

/* Kernel readahead; needs root, and is only a matter of speed. */
static void raise_read_ahead(dev_t device)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(device),
		 minor(device));
	file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%d\n", READ_AHEAD_KB);
	if (fclose(file) != 0)
		log_debug("%s cannot be set", path);
}

/* The kernel has the reply, so files can be registered with it: is passthrough possible? */
static void begin_passthrough(struct weightfs *fs, int device)
{
	_cleanup_close_ int probe = store_probe(fs->store);

	passthrough_begin(fs->passthrough, session.passthrough, device, probe);
}

/* The first reply of a session is INIT's. */
static ssize_t write_init_reply(struct weightfs *fs, int fd, const struct iovec *iov, int count)
{
	struct iovec patched[2];
	struct fuse_init_out init;
	ssize_t n;

	if (count != 2 || iov[1].iov_len > sizeof(init))
		return writev(fd, iov, count);
	memcpy(&init, iov[1].iov_base, iov[1].iov_len);
	wire_amend_init(&init, iov[1].iov_len);
	patched[0] = iov[0];
	patched[1] = (struct iovec){ &init, iov[1].iov_len };
	n = writev(fd, patched, 2);
	if (n > 0) {
		raise_read_ahead(session_device());
		begin_passthrough(fs, fd);
		if (session.options.ready)
			session.options.ready(session.options.arg);
	}
	return n;
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	if (!atomic_exchange_explicit(&session.answered, true, memory_order_relaxed))
		return write_init_reply(userdata, fd, iov, count);
	return wire_write(fd, iov, count);
}

/* ---- the threads of libfuse's loop: its workers, and the main one, which waits for them ---- */

/* Each says who it is before it waits for the first time, so that it can be woken when the loop has to end. */
static void register_thread(void)
{
	static __thread bool registered;

	if (registered)
		return;
	registered = true;
	for (size_t i = 0; i < ARRAY_SIZE(session.threads); i++) {
		pid_t none = 0;

		if (atomic_compare_exchange_strong(&session.threads[i], &none, gettid()))
			return;
	}
}

/*
 * libfuse ends the workers by cancelling them in here, anywhere. They are woken instead, see that the
 * session is over, and return: cancellation is off, so that it never cuts one short.
 */
static ssize_t session_read(int fd, void *buf, size_t len, void *userdata)
{
	int cancel_state;
	ssize_t n;

	register_thread();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	n = read(fd, buf, len);
	if (n > 0 && !atomic_load_explicit(&session.answered, memory_order_relaxed))
		wire_heard(buf, (size_t)n);
	pthread_setcancelstate(cancel_state, NULL);
	return n;
}

/* ---- mounting ---- */

/* The options for libfuse as one list; the source may have commas in it. */
static int add_options(struct fuse_args *args, const struct session_options *options)
{
	_cleanup_free_ char *list = strdup(FIXED_OPTIONS), *name = NULL;
	int r;

	if (!list || asprintf(&name, "fsname=%s", options->source) < 0)
		return -ENOMEM;
	r = fuse_opt_add_opt_escaped(&list, name);
	if (r == 0 && options->options[0])
		r = fuse_opt_add_opt(&list, options->options);
	if (r == 0)
		r = fuse_opt_add_arg(args, "weightfs");
	if (r == 0)
		r = fuse_opt_add_arg(args, "-o");
	if (r == 0)
		r = fuse_opt_add_arg(args, list);
	return r == 0 ? 0 : -ENOMEM;
}

int session_mount(struct weightfs *fs, const struct session_options *options)
{
	static const struct fuse_custom_io io = { .writev = session_writev, .read = session_read };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct stat st;
	int r;

	session.options = *options;
	if (!realpath(options->mountpoint, session.mountpoint) ||
	    stat(session.mountpoint, &st) < 0)
		return log_error_errno(-errno, "%s%s", options->mountpoint,
				       errno == ENOTCONN ?
					       ": the daemon of a mount died here (weightfs umount)" :
					       "");
	if (!S_ISDIR(st.st_mode))
		return log_error_errno(-ENOTDIR, "%s", options->mountpoint);
	if (add_options(&args, options) == 0)
		fs->session = fuse_session_new(&args, &ops_table, sizeof(ops_table), fs);
	fuse_opt_free_args(&args);
	if (!fs->session)
		return log_error_errno(-EINVAL, "the FUSE session cannot be made");
	if (fuse_session_mount(fs->session, session.mountpoint) != 0) {
		fuse_session_destroy(steal_pointer(fs->session));
		log_error("%s: cannot be mounted on", session.mountpoint); /* libfuse said why */
		return -EIO;
	}
	atomic_store(&session.mounted, true);
	atomic_store(&session.device, device_there());
	r = fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
	if (r != 0) {
		session_end(fs);
		return log_error_errno(r, "libfuse does not take our I/O functions");
	}
	return 0;
}

static bool is_disconnected(struct fuse_session *of)
{
	struct pollfd device = { .fd = fuse_session_fd(of) };

	return poll(&device, 1, 0) == 1 && device.revents & POLLERR;
}

void session_end(struct weightfs *fs)
{
	if (!fs->session)
		return;
	/*
	 * libfuse unmounts by path, unless the connection is gone already. By now another mount may lie there,
	 * which is none of ours.
	 */
	if (device_there() == session_device() || is_disconnected(fs->session))
		fuse_session_unmount(fs->session);
	fuse_session_destroy(steal_pointer(fs->session));
}

void session_forget_names(struct weightfs *fs)
{
	struct fuse_out_header notify = { .len = sizeof(notify), .error = NOTIFY_INC_EPOCH };

	atomic_fetch_add(&fs->changes, 1);
	asking_review(fs);
	if (!atomic_load(&fs->epochs))
		return; /* the timeouts are short */
	if (write(fuse_session_fd(fs->session), &notify, sizeof(notify)) < 0)
		log_warning_errno(-errno, "the kernel did not take the new epoch");
}

/* ---- signals and the loop ---- */

static void wake(int signal_number)
{
	/* Nothing: the system call that it interrupts returns. */
}

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void session_block_signals(void)
{
	sigset_t set;

	signal_set(&set);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, WAKE_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

bool session_asked_to_stop(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT));
}

/*
 * The loop's threads look at the exit flag only when what they wait in returns. A signal may come a moment
 * before they wait, so it is sent until they are gone. (A thread id that is not ours any more is refused.)
 */
static void stop_loop(struct weightfs *fs)
{
	const struct timespec pause = { .tv_nsec = 10000000 };

	fuse_session_exit(fs->session);
	while (atomic_load(&session.looping)) {
		for (size_t i = 0; i < ARRAY_SIZE(session.threads); i++) {
			pid_t tid = atomic_load(&session.threads[i]);

			if (tid)
				tgkill(getpid(), tid, WAKE_SIGNAL);
		}
		nanosleep(&pause, NULL);
	}
}

static void *wait_for_signals(void *arg)
{
	struct weightfs *fs = arg;
	sigset_t set;
	int number;

	pthread_setname_np(pthread_self(), "signals");
	signal_set(&set);
	for (;;) {
		if (sigwait(&set, &number) != 0)
			continue;
		if (number != SIGHUP)
			break;
		if (!atomic_load(&session.looping))
			return NULL; /* session_run() is done with us */
		audit_reopen(fs->audit);
		(void)policy_slot_reload(fs->policy, NULL);
	}
	stop_loop(fs);
	return NULL;
}

int session_run(struct weightfs *fs)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct sigaction action = { .sa_handler = wake };
	pthread_t signals;
	sigset_t set;
	int r;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
	fuse_loop_cfg_set_idle_threads(config, THREADS_MAX);
	register_thread();
	atomic_store(&session.looping, true);
	sigaction(WAKE_SIGNAL, &action, NULL);
	r = -pthread_create(&signals, NULL, wait_for_signals, fs);
	if (r == 0) {
		sigemptyset(&set);
		sigaddset(&set, WAKE_SIGNAL);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		r = fuse_session_loop_mt(fs->session, config);
		atomic_store(&session.looping, false);
		pthread_kill(signals, SIGHUP);
		pthread_join(signals, NULL);
	}
	fuse_loop_cfg_destroy(config);
	return r < 0 ? r : 0;
}
