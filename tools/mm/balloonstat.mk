# SPDX-License-Identifier: GPL-2.0
#
# Builds balloonstat: make -f tools/mm/balloonstat.mk [OUTPUT=DIR] [DESTDIR=DIR] [PREFIX=DIR]
# [install]. The kernel has a Makefile of its own beside this. In the project's repository, use
# 'make tools': a program left here is taken for a source.

source := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
OUTPUT := $(or $(patsubst %/,%,$(OUTPUT)),$(source))
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
warnings := -Wall -Wextra

sources := $(addprefix $(source)/,balloonstat.c balloonstat_prometheus.c balloonstat_read.c \
	     balloonstat_set.c balloonstat_show.c balloonstat_term.c balloonstat_wait.c)
share := $(DESTDIR)$(PREFIX)/share
completions := $(share)/bash-completion/completions

.PHONY: all
all: $(OUTPUT)/balloonstat

$(OUTPUT)/balloonstat: $(sources) $(source)/balloonstat.h
	mkdir -p $(OUTPUT)
	$(CC) -std=gnu11 $(warnings) $(CFLAGS) $(LDFLAGS) -o $@ $(sources)

.PHONY: install
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(share)/man/man8 $(completions)
	install $(OUTPUT)/balloonstat $(DESTDIR)$(PREFIX)/bin/balloonstat
	install -m 644 $(source)/balloonstat.8 $(share)/man/man8/balloonstat.8
	install -m 644 $(source)/balloonstat.bash-completion $(completions)/balloonstat

.PHONY: clean
clean:
	rm -f $(OUTPUT)/balloonstat
