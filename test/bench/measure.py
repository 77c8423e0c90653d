"""What processes cost, read from /proc, and what the disk can do."""
import os
import re
import time

TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """ppid, own CPU seconds, CPU seconds of its ended and awaited children; None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        own = (int(fields[11]) + int(fields[12])) / TICK
        if fields[17] == "1":
            # One thread: the scheduler's own count is in nanoseconds where utime and stime are in ticks of 10 ms, which
            # matters when a hundred small processes are summed.
            with open("/proc/%d/schedstat" % pid, encoding="ascii") as f:
                own = int(f.read().split()[0]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
    return int(fields[1]), own, (int(fields[13]) + int(fields[14])) / TICK


def tree(root):
    """The process and all that descend from it: {pid: _stat}."""
    all_of_them = {}
    for name in os.listdir("/proc"):
        stat = _stat(int(name)) if name.isdigit() else None
        if stat:
            all_of_them[int(name)] = stat
    found = {root: all_of_them[root]} if root in all_of_them else {}
    grown = True
    while grown:
        more = {pid: s for pid, s in all_of_them.items() if s[0] in found and pid not in found}
        found.update(more)
        grown = bool(more)
    return found


def cpu_seconds(root):
    """User and system time of a process, its living descendants, and those that ended and were waited for: what an
    ended child used is in its parent's count of children once the parent has collected it, and until then the child is
    still listed."""
    return sum(own + ended for _, own, ended in tree(root).values())


def memory_octets(root):
    """(RSS, PSS) summed over the tree. RSS counts a shared page once for each process that has it, PSS once in all."""
    rss = pss = 0
    for pid in tree(root):
        try:
            with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as f:
                own = int((re.search(r"VmRSS:\s+(\d+)", f.read()) or [0, 0])[1])
        except OSError:
            continue
        rss += own
        try:
            with open("/proc/%d/smaps_rollup" % pid, encoding="ascii", errors="replace") as f:
                pss += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])
        except (OSError, TypeError):
            pss += own
    return rss * 1024, pss * 1024


def durable_appends(folder, seconds=1.5):
    """4 KiB appends to one file a second, each followed by fdatasync, which is what a log in a file must do."""
    path = os.path.join(folder, "appends")
    block = b"x" * 4096
    count, began = 0, time.perf_counter()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while time.perf_counter() - began < seconds:
        os.write(fd, block)
        os.fdatasync(fd)
        count += 1
    took = time.perf_counter() - began
    os.close(fd)
    os.unlink(path)
    return count / took


def durable_files(folder, seconds=1.5):
    """New 4 KiB files a second, each with fsync of it and of its directory: what one file for each message costs."""
    folder = os.path.join(folder, "files")
    os.mkdir(folder)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    block = b"x" * 4096
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        fd = os.open(os.path.join(folder, str(count)), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, block)
        os.fsync(fd)
        os.close(fd)
        os.fsync(directory)
        count += 1
    took = time.perf_counter() - began
    os.close(directory)
    empty(folder)
    os.rmdir(folder)
    return count / took


def empty(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            os.unlink(entry.path)


def files_in(folders):
    return sum(len(os.listdir(f)) for f in folders if os.path.isdir(f))


def machine():
    """The machine in general terms: [(what, value)]."""
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read())[1]) / 1048576
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        model = (re.search(r"^model name\s*:\s*(.*)$", f.read(), re.M) or [0, os.uname().machine])[1]
    with open("/etc/os-release", encoding="utf-8") as f:
        system = (re.search(r'^PRETTY_NAME="?([^"\n]*)', f.read(), re.M) or [0, os.uname().sysname])[1]
    return [("processor", "%d cores, %s" % (os.cpu_count(), model)), ("memory", "%.0f GiB" % memory),
            ("system", "%s, Linux %s" % (system, ".".join(os.uname().release.split(".")[:2])))]


def file_system(folder):
    best = ("", "")
    with open("/proc/mounts", encoding="utf-8") as f:
        for line in f:
            device, point, kind = line.split()[:3]
            if (folder + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = (point, "%s on %s" % (kind, "a virtual disk" if re.match(r"/dev/(vd|xvd)", device) else
                                             "a disk" if device.startswith("/dev/") else device))
    return best[1]


def load_average():
    return os.getloadavg()[0]


def system_calls_of(summary):
    """{name: calls} of a table of `strace -c`."""
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_0-9]+)\s*$", summary, re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}

