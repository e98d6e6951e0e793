/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the build of libelf includes and musl has not. Nothing of it is called: no program of
 * elfutils is built. */
#pragma once
#include <errno.h>
#include <stdio.h>

typedef int error_t;

struct argp_option {
	const char *name;
	int key;
	const char *arg;
	int flags;
	const char *doc;
	int group;
};

struct argp_state {
	char *name;
	FILE *err_stream;
	FILE *out_stream;
};

typedef error_t (*argp_parser_t)(int, char *, struct argp_state *);

struct argp {
	const struct argp_option *options;
	argp_parser_t parser;
	const char *args_doc;
	const char *doc;
	const void *children;
	void *help_filter;
	const char *argp_domain;
};

#define ARGP_ERR_UNKNOWN E2BIG
#define ARGP_HELP_SEE 4
#define OPTION_ARG_OPTIONAL 1

void argp_help(const struct argp *, FILE *, unsigned, char *);
void argp_error(const struct argp_state *, const char *, ...);
