// SPDX-License-Identifier: GPL-2.0
/*
 * Runs commands for the host:
 *
 *	agent TTY
 *
 * A request is a line "ID SECONDS COMMAND", the command for sh in base64; the answer is the
 * command's output, then a line "ID STATUS" after a zero byte. After SECONDS the command is killed.
 * The output goes through a file, so that what a command leaves in the background can't keep
 * it open.
 *
 * As a script this started five processes for each command, and on an emulated CPU whose kernel
 * checks everything each takes 130 ms.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define COMMAND	"/tmp/.command"
#define OUTPUT	"/tmp/.output"

static int tty;

static void die(const char *what)
{
	fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void say(const char *data, size_t len)
{
	ssize_t n;

	for (; len; data += n, len -= n) {
		n = write(tty, data, len);
		if (n < 0)
			die("write");
	}
}

static int digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? at - digits : -1;
}

/* Returns whether all of the text is in the file now. */
static int store(const char *coded)
{
	FILE *file = fopen(COMMAND, "w");
	unsigned int bits = 0, nr = 0;
	int value;

	if (!file)
		return 0;
	for (; (value = digit(*coded)) >= 0; coded++) {
		bits = bits << 6 | value;
		nr += 6;
		if (nr >= 8) {
			nr -= 8;
			putc(bits >> nr & 0xff, file);
		}
	}
	return !fclose(file);
}

static void child(void)
{
	int in = open("/dev/null", O_RDONLY);
	int out = open(OUTPUT, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	sigset_t none;

	if (in < 0 || out < 0)
		_exit(126);
	dup2(in, 0);
	dup2(out, 1);
	dup2(out, 2);
	if (in > 2)
		close(in);
	if (out > 2)
		close(out);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl("/bin/sh", "sh", COMMAND, NULL);
	_exit(127);
}

/* Returns the command's exit status, as a shell would have it. */
static int run(long seconds)
{
	struct timespec end, left;
	sigset_t ended;
	pid_t pid;
	int status;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &ended, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	pid = fork();
	if (pid < 0)
		return 126;
	if (!pid)
		child();
	while (!waitpid(pid, &status, WNOHANG)) {
		clock_gettime(CLOCK_MONOTONIC, &left);
		left.tv_sec = end.tv_sec - left.tv_sec;
		left.tv_nsec = 0;
		if (left.tv_sec > 0) {
			sigtimedwait(&ended, NULL, &left);
			continue;
		}
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		break;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void answer(const char *id, int status)
{
	static char buf[1 << 16];
	int file = open(OUTPUT, O_RDONLY);
	ssize_t n;

	while (file >= 0 && (n = read(file, buf, sizeof(buf))) > 0)
		say(buf, n);
	if (file >= 0)
		close(file);
	buf[0] = '\0';
	n = snprintf(buf + 1, sizeof(buf) - 1, "%s %d\n", id, status);
	say(buf, n + 1);
}

int main(int argc, char **argv)
{
	static const char ready[] = "\0agent ready\n";
	char *line = NULL, *id, *seconds, *command;
	struct termios mode;
	size_t size = 0;
	FILE *requests;

	if (argc != 2) {
		fprintf(stderr, "usage: agent TTY\n");
		return 2;
	}
	tty = open(argv[1], O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		die(argv[1]);
	if (!tcgetattr(tty, &mode)) {
		cfmakeraw(&mode);
		tcsetattr(tty, TCSANOW, &mode);
	}
	requests = fdopen(fcntl(tty, F_DUPFD_CLOEXEC, 0), "r");
	if (!requests)
		die("requests");
	say(ready, sizeof(ready) - 1);
	while (getline(&line, &size, requests) > 0) {
		id = strtok(line, "\n ");
		seconds = strtok(NULL, "\n ");
		command = strtok(NULL, "\n ");
		if (!id || !seconds)
			continue;
		unlink(OUTPUT);
		answer(id, store(command ? command : "") ? run(atol(seconds)) : 126);
	}
	return 0;
}
