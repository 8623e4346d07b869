#!/bin/bash
# Real program: Go, whose runtime has threads, signals and a memory layout of its own. Goroutines compute, sleep, wait
# for each other and for a pipe, with garbage to be collected, and check what they get. Needs a Go compiler.
dir=$2
case $1 in
run)
	command -v go >/dev/null || { echo "skip: pid 0: no go compiler (package golang-go)" >&2; exit 77; }
	cat >"$dir/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var rounds, sleeps, passed, errors int64

func fail(what string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, what+"\n", args...)
	atomic.AddInt64(&errors, 1)
}

func compute() {
	for {
		sum, text := 0, []string{}
		for i := 1; i <= 2000; i++ {
			sum += i
			text = append(text, fmt.Sprint(i))
		}
		if sum != 2001000 || len(text) != 2000 || text[1999] != "2000" {
			fail("computed %d", sum)
		}
		atomic.AddInt64(&rounds, 1)
		time.Sleep(time.Millisecond)
	}
}

func sleep() {
	for {
		start := time.Now()
		time.Sleep(20 * time.Millisecond)
		if time.Since(start) < 20*time.Millisecond {
			fail("slept %v", time.Since(start))
		}
		atomic.AddInt64(&sleeps, 1)
	}
}

func main() {
	values := make(chan int)
	r, w, _ := os.Pipe()
	go compute()
	go compute()
	go sleep()
	go func() {
		var b [1]byte
		n, err := r.Read(b[:])
		fail("read returned %d, %v", n, err)
	}()
	go func() {
		for i := 0; ; i++ {
			values <- i
		}
	}()
	go func() {
		for want := 0; ; want++ {
			if got := <-values; got != want {
				fail("got %d, not %d", got, want)
			}
			passed++
			if want%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	os.Create("running")
	for {
		if _, err := os.Stat("check"); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	before, slept := atomic.LoadInt64(&rounds), atomic.LoadInt64(&sleeps)
	for atomic.LoadInt64(&rounds) == before || atomic.LoadInt64(&sleeps) == slept {
		time.Sleep(time.Millisecond)
	}
	w.Fd()
	os.WriteFile("result", []byte(fmt.Sprintf("%d errors\n", atomic.LoadInt64(&errors))), 0644)
}
GO
	cd "$dir" && GOCACHE=$dir/cache GOFLAGS=-mod=mod GO111MODULE=off go build -o program main.go && rm -r cache &&
		exec ./program
	;;
ready)
	[ -e "$dir/running" ]
	;;
check)
	for _ in $(seq 500); do
		[ -s "$dir/result" ] && break
		sleep 0.02
	done
	[ "$(cat "$dir/result")" = "0 errors" ]
	;;
esac
