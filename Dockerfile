# The image. Every download is verified: Debian packages by signature; npm, PyPI and Go modules by the hashes in backend/image/
# and beside each Go program, which also record the versions. docs/image.md describes the contents, their sizes, and a build
# without Docker Hub.
#   docker build -t codetainer .

# Any Debian 13 will do: `--build-arg DEBIAN=...` uses another one.
ARG DEBIAN=docker.io/library/debian:trixie-slim

# --- Debian with backports: their tmux has synchronized output, without which Claude Code flickers ---
FROM ${DEBIAN} AS debian
ENV LANG=C.UTF-8
RUN set -eu; . /etc/os-release; \
    archive=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' | sed -n "s/^$VERSION_CODENAME //p" | head -n 1); \
    test -n "$archive"; echo "deb $archive $VERSION_CODENAME-backports main" >/etc/apt/sources.list.d/backports.list; \
    printf 'path-exclude /usr/share/%s/*\n' man locale groff info lintian 'doc/*/examples' >/etc/dpkg/dpkg.cfg.d/codetainer; \
    printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' >/etc/apt/apt.conf.d/90codetainer

# --- builders: their layers do not end up in the image ---
FROM debian AS builder
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install ca-certificates npm python3-venv
COPY backend/image/requirements-build.txt /build/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install -q --no-cache-dir --disable-pip-version-check --no-compile --require-hashes \
      -r /build/requirements-build.txt && \
    mv "$(PYTHONDONTWRITEBYTECODE=1 /opt/build/bin/go env GOROOT)" /usr/local/go
# No cgo: static binaries. Toolchain local: Go downloads no other toolchain. Without paths and build stamps, builds are
# reproducible.
ENV PATH=/usr/local/go/bin:$PATH CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-trimpath -buildvcs=false -mod=readonly '-ldflags=-s -w'"

FROM builder AS coredns
COPY network/dns/coredns /build/coredns
RUN cd /build/coredns && go build -o /out/coredns . && go clean -cache -modcache

FROM builder AS confine
COPY backend/confine /build/confine
RUN cd /build/confine && go build -o /out/confine . && go clean -cache -modcache

FROM builder AS reader
COPY network/gate/reader /build/reader
RUN cd /build/reader && go build -o /out/reader . && go clean -cache -modcache

FROM builder AS gopls
COPY backend/image/gopls /build/gopls
RUN cd /build/gopls && go build -o /out/gopls golang.org/x/tools/gopls && go clean -cache -modcache

FROM builder AS programs
COPY backend/image/npm/package.json backend/image/npm/package-lock.json /opt/programs/
RUN cd /opt/programs && npm ci --ignore-scripts --omit=dev --no-fund --no-audit --loglevel=error && npm cache clean --force && \
    # Debian's npm ignores a package's `libc` field, and also installs packages for musl.
    rm -rf node_modules/@*/*-musl node_modules/.package-lock.json node_modules/npm/docs node_modules/npm/man

FROM builder AS codetainer
COPY backend/image/requirements.txt /build/
RUN python3 -m venv --without-pip /opt/codetainer/venv && /opt/build/bin/pip --python /opt/codetainer/venv/bin/python3 install -q \
      --no-cache-dir --disable-pip-version-check --no-compile --require-hashes --only-binary :all: -r /build/requirements.txt
COPY pyproject.toml README.md LICENSE /build/source/
COPY network /build/source/network
COPY backend /build/source/backend
COPY codetainer_tui /build/source/codetainer_tui
# Our packages lie beside the environment, as with `codetainer up`. The root is read-only later, so compile everything now.
RUN /opt/build/bin/pip install -q --no-cache-dir --disable-pip-version-check --no-compile --no-index --no-deps --no-build-isolation \
      --target /opt/codetainer/lib /build/source && rm -r /opt/codetainer/lib/bin && \
    echo /opt/codetainer/lib >"$(/opt/codetainer/venv/bin/python3 -I -c 'import site; print(site.getsitepackages()[0])')/codetainer.pth" && \
    PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /opt/codetainer

# --- the image ---
FROM debian
RUN set -eu; . /etc/os-release; apt-get -q update; DEBIAN_FRONTEND=noninteractive apt-get -qy install \
      # for Codetainer (systemd-standalone-sysusers, because sshd would otherwise pull in all of systemd)
      ca-certificates conntrack haproxy iproute2 libnftables1 ncurses-bin ncurses-term nftables openssh-server procps python3 \
      systemd-standalone-sysusers tini "tmux/$VERSION_CODENAME-backports" util-linux zstd \
      # for the agent
      bat curl fd-find file gh git glow jq just less make nodejs openssh-client openssl patch python3-pip python3-venv ripgrep rsync \
      tree unzip xz-utils zip; \
    apt-get clean; \
    # No host keys in a layer, and no files that differ between builds.
    rm -rf /etc/ssh/ssh_host_* /var/lib/apt/lists/* /var/log/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/* \
      /etc/machine-id /var/lib/dbus/machine-id; \
    # Remove setuid and setgid bits. Unprivileged processes have no-new-privs, so these bits would have no effect anyway.
    find / -xdev -perm /6000 -type f -exec chmod a-s {} +
COPY --from=builder /usr/local/go /usr/local/go
COPY --from=gopls /out/gopls /usr/local/bin/
COPY --from=programs /opt/programs /opt/programs
COPY --from=coredns /out/coredns /usr/local/bin/
COPY --from=codetainer /opt/codetainer /opt/codetainer
COPY --from=confine /out/confine /opt/codetainer/
COPY --from=reader /out/reader /opt/codetainer/
COPY claude-settings.json /opt/claude/settings.json
COPY network/domains.conf /opt/network/domains.conf
# The same code as for `codetainer up` installs the rest of our files.
RUN set -eu; \
    /opt/codetainer/venv/bin/python3 -I -m backend.sandbox.installation /; \
    cd /usr/local/bin; modules=/opt/programs/node_modules; \
    ln -s $modules/@anthropic-ai/claude-code-linux-*/claude claude; \
    ln -s $modules/@oven/bun-linux-*/bin/bun bun; ln -s bun bunx; \
    ln -s $modules/npm/bin/npm-cli.js npm; ln -s $modules/npm/bin/npx-cli.js npx; \
    for program in prettier tsc tsserver typescript-language-server; do \
      ln -s "$(readlink -f $modules/.bin/$program)" $program; \
    done; \
    ln -s /usr/local/go/bin/go /usr/local/go/bin/gofmt .; \
    ln -s /usr/bin/just just; ln -s /usr/bin/fdfind fd; ln -s /usr/bin/batcat bat; \
    for program in *; do test -x "$program" || { echo "cannot find the target of $program" >&2; exit 1; }; done
ARG VERSION=0 REVISION=unknown
LABEL org.opencontainers.image.title="Codetainer" \
      org.opencontainers.image.description="A hardened sandbox in which Claude Code works unattended" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A degraded sandbox is healthy: the agent runs, and the dashboard shows what is missing. A closed or booting one is not.
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m \
  CMD codetainer status --json | grep -qE '"condition": "(ready|degraded)"'
WORKDIR /
ENTRYPOINT ["/usr/local/bin/entrypoint"]
