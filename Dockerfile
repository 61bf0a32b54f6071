# docker build --tag ocean-pipeline .
# docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" ocean-pipeline verify
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# An unknown user id has no home directory and no name. /data is a volume with the user's files.
ENV HOME=/tmp USER=ocean MPLCONFIGDIR=/tmp/matplotlib GIT_PYTHON_REFRESH=quiet

WORKDIR /source
COPY . .
RUN pip install --constraint requirements-dev.txt '.[excel,postgres,video]'

WORKDIR /data
ENTRYPOINT ["ocean-pipeline"]
CMD ["--help"]
