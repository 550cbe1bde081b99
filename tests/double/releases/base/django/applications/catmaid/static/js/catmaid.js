window.CATMAID = {release: '2030.01.15'};
