/* Debian's User-Mode Linux (6.1) keeps 832 bytes of a process's vector registers. On a
 * CPU whose area is larger (AVX-512, AMX) the host refuses to set that few, and the
 * guest does not boot. Loaded before it, this completes the area by what is there.
 * Source: ptrace(2), PTRACE_SETREGSET; elf.h, NT_X86_XSTATE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(int, ...);
	static char area[32768] __attribute__((aligned(64)));
	va_list rest;
	va_start(rest, request);
	int pid = va_arg(rest, int);
	void *address = va_arg(rest, void *);
	void *data = va_arg(rest, void *);
	va_end(rest);
	if (!next)
		next = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (unsigned long)address == NT_X86_XSTATE) {
		struct iovec *wanted = data, whole = { area, sizeof(area) };
		if (next(PTRACE_GETREGSET, pid, address, &whole) == 0 && whole.iov_len > wanted->iov_len) {
			memcpy(area, wanted->iov_base, wanted->iov_len);
			return next(request, pid, address, &whole);
		}
	}
	return next(request, pid, address, data);
}
