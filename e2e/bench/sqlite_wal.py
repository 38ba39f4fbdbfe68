#!/usr/bin/env python3
"""Acknowledged inserts into SQLite in WAL mode with synchronous=FULL: one connection for each writer, one row of 512 bytes
for each transaction. Prints `rows_per_second p50_us p99_us`.

    sqlite_wal.py FOLDER WRITERS SECONDS
"""

import os
import sqlite3
import sys
import threading
import time


def write(path, stop, seen, begin):
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA synchronous=FULL")
    row = os.urandom(512)
    begin.wait()
    while time.monotonic() < stop[0]:
        began = time.perf_counter_ns()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO record (bytes) VALUES (?)", (row,))
        connection.execute("COMMIT")
        seen.append(time.perf_counter_ns() - began)
    connection.close()


def main():
    folder, writers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    path = os.path.join(folder, "audit.db")
    first = sqlite3.connect(path)
    first.execute("PRAGMA journal_mode=WAL")
    first.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")
    first.commit()
    stop, begin = [0.0], threading.Barrier(writers + 1)
    seen = [[] for _ in range(writers)]
    threads = [threading.Thread(target=write, args=(path, stop, own, begin)) for own in seen]
    for thread in threads:
        thread.start()
    stop[0] = time.monotonic() + seconds
    began = time.monotonic()
    begin.wait()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    waits = sorted(wait for own in seen for wait in own)
    at = lambda share: waits[min(len(waits) - 1, int(len(waits) * share))] / 1000
    print(f"{len(waits) / took:.0f} {at(0.5):.0f} {at(0.99):.0f}")


main()
