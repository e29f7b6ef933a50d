# Run once in the new guest's root, by /bin/sh: users, services, and the harness's Python.
set -eu

useradd --create-home --shell /bin/bash --groups dialout hil
useradd --create-home --shell /bin/bash outsider
for home in /root /home/hil /home/outsider; do
    mkdir -p "$home/.ssh"
    cp /opt/key.pub "$home/.ssh/authorized_keys"
    chmod 700 "$home/.ssh"
    chown -R "$(stat -c %u:%g "$home")" "$home/.ssh"
done

echo usbrig >/etc/hostname
echo '127.0.0.1 localhost usbrig' >/etc/hosts
mkdir -p /src
install -m 755 /opt/init.sh /sbin/usb-rig-init
# An initial disk of what the guest's disk needs alone: the whole one takes long to unpack.
sed -i 's/^MODULES=.*/MODULES=list/' /etc/initramfs-tools/initramfs.conf
printf 'virtio_pci\nvirtio_blk\next4\n' >>/etc/initramfs-tools/modules
update-initramfs -u

python3 -m venv /opt/hil
/opt/hil/bin/pip install --quiet --no-cache-dir -r /opt/requirements.txt
python3 -m venv /opt/labgrid
/opt/labgrid/bin/pip install --quiet --no-cache-dir -r /opt/labgrid.txt

cat >/etc/profile.d/hil.sh <<'END'
export PYTHONPATH=/src PYTHONDONTWRITEBYTECODE=1 HIL_STATE_DIR=$HOME/state
export HIL_RIG=/etc/hil/rig.toml PATH=/opt/rig:$PATH:/usr/sbin
END
mkdir -p /etc/hil /opt/rig
printf '#!/bin/sh\nexec /opt/hil/bin/python -m harness.cli "$@"\n' >/opt/rig/hil
printf '#!/bin/sh\nexec /opt/hil/bin/python -m pytest -p harness.plugin "$@"\n' >/opt/rig/pytest
for program in client coordinator exporter; do
    ln -s "/opt/labgrid/bin/labgrid-$program" /opt/rig/
done
chmod 755 /opt/rig/*
rm -rf /opt/ca.crt /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
